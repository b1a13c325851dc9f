{{- /* The pod of a job: (dict "root" $ "component" NAME "grace" SECONDS "container" TEXT "readOnly" BOOL). */ -}}
{{- define "loom-exporter.jobPod" -}}
{{- with .root -}}
{{- if not .Values.persistence.enabled -}}
{{- fail (printf "%s.enabled: needs persistence.enabled, to read what the exporter has kept" $.component) -}}
{{- end -}}
metadata:
  {{- include "loom-exporter.metadata" (dict "root" . "pod" true "component" $.component "labels" (list .Values.podLabels) "annotations" (list .Values.podAnnotations)) | trim | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "loom-exporter.podSpec" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ $.grace }}
  # Beside the exporter, whose volume can be mounted on one node only.
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "loom-exporter.exporterSelector" . | nindent 14 }}
  containers:
    - {{ include "loom-exporter.container" . | nindent 6 | trim }}
      {{- $.container | nindent 6 }}
      {{- include "loom-exporter.environment" . | nindent 6 }}
      volumeMounts:
        - name: state
          mountPath: /var/lib/loom-exporter
          {{- if $.readOnly }}
          readOnly: true
          {{- end }}
        {{- include "loom-exporter.volumeMounts" . | nindent 8 }}
  volumes:
    {{- include "loom-exporter.volumes" . | nindent 4 }}
{{- end }}
{{- end }}
