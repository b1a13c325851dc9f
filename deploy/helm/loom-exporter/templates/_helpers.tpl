{{- define "loom-exporter.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters, so that the longest suffix fits into the 63 of a label. */ -}}
{{- define "loom-exporter.fullname" -}}
{{- $name := include "loom-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "loom-exporter.selector" -}}
app.kubernetes.io/name: {{ include "loom-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "loom-exporter.exporterSelector" -}}
{{ include "loom-exporter.selector" . }}
app.kubernetes.io/component: exporter
{{- end }}

{{- /* Metadata of an object, whose name is that of the release with a suffix, if no other is given:
(dict "root" $ "component" NAME "suffix" NAME "name" NAME "namespace" NAME "labels" (list…)
"annotations" (list…) "pod" BOOL). A pod's template has no name. Of labels and annotations the later
ones win, but for the labels by which pods are selected. */ -}}
{{- define "loom-exporter.metadata" -}}
{{- $root := .root -}}
{{- $labels := dict
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "loom-exporter" -}}
{{- if not .pod -}}
{{- /* Not of pods: a new version of the chart alone is no reason for a new pod. */ -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
name: {{ .name | default (printf "%s-%s" (include "loom-exporter.fullname" $root) (.suffix | default "") | trimSuffix "-") | quote }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
{{- end }}
{{- range prepend (.labels | default list) $root.Values.commonLabels -}}
{{- $labels = mergeOverwrite $labels (deepCopy .) -}}
{{- end -}}
{{- $own := include "loom-exporter.selector" $root | fromYaml -}}
{{- $labels = mergeOverwrite $labels $own (dict "app.kubernetes.io/component" .component) }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- $annotations := deepCopy $root.Values.commonAnnotations -}}
{{- range .annotations -}}
{{- $annotations = mergeOverwrite $annotations (deepCopy .) -}}
{{- end -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "loom-exporter.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "loom-exporter.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "loom-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "loom-exporter.claim" -}}
{{ default (printf "%s-state" (include "loom-exporter.fullname" .)) .Values.persistence.existingClaim }}
{{- end }}

{{- define "loom-exporter.scheme" -}}
{{ ternary .Values.webConfig.scheme "http" (ne .Values.webConfig.existingSecret "") }}
{{- end }}

{{- /* What all pods have in common. */ -}}
{{- define "loom-exporter.podSpec" -}}
serviceAccountName: {{ include "loom-exporter.serviceAccount" . | quote }}
automountServiceAccountToken: false
# A Service of this name would put LOOM_EXPORTER_* variables into every pod beside it.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* What all containers have in common. */ -}}
{{- define "loom-exporter.container" -}}
name: loom-exporter
image: {{ include "loom-exporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- define "loom-exporter.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "loom-exporter.fullname" . }}-settings
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Folders and not files (subPath), which would never see a change of a Secret. */ -}}
{{- define "loom-exporter.volumeMounts" -}}
- name: database
  mountPath: /etc/loom-exporter/database
  readOnly: true
{{- if .Values.database.probeSecret.name }}
- name: probes
  mountPath: /etc/loom-exporter/probes
  readOnly: true
{{- end }}
{{- if or .Values.database.ca.existingSecret .Values.database.ca.existingConfigMap }}
- name: ca
  mountPath: /etc/loom-exporter/ca
  readOnly: true
{{- end }}
{{- if or .Values.queries.existingConfigMap .Values.queries.inline }}
- name: queries
  mountPath: /etc/loom-exporter/queries
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "loom-exporter.volumes" -}}
{{- $fullname := include "loom-exporter.fullname" . -}}
- name: state
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ include "loom-exporter.claim" . | quote }}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: database
  secret:
    secretName: {{ required "database.existingSecret.name: name the Secret that holds the connection string" .Values.database.existingSecret.name | quote }}
    defaultMode: 0440
    {{- if ne .Values.database.existingSecret.key "url" }}
    items:
      - key: {{ .Values.database.existingSecret.key | quote }}
        path: url
    {{- end }}
{{- with .Values.database.probeSecret }}
{{- if .name }}
- name: probes
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    {{- if ne .key "url" }}
    items:
      - key: {{ .key }}
        path: url
    {{- end }}
{{- end }}
{{- end }}
{{- with .Values.database.ca }}
{{- if and .existingSecret .existingConfigMap }}
{{- fail "database.ca: name a Secret or a ConfigMap, not both" }}
{{- end }}
{{- if or .existingSecret .existingConfigMap }}
- name: ca
  {{- if .existingSecret }}
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ .existingConfigMap | quote }}
  {{- end }}
    {{- if ne .key "ca.crt" }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
    {{- end }}
{{- end }}
{{- end }}
{{- with .Values.queries }}
{{- if and .existingConfigMap .inline }}
{{- fail "queries: name a ConfigMap or write files inline, not both" }}
{{- end }}
{{- if or .existingConfigMap .inline }}
- name: queries
  configMap:
    name: {{ default (printf "%s-queries" $fullname) .existingConfigMap | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
