{{- /* One endpoint of a monitor: (dict "root" $ "monitor" .Values.… "relabelings" NAME). */ -}}
{{- define "loom-exporter.endpoint" -}}
{{- $scheme := include "loom-exporter.scheme" .root -}}
{{- $web := .root.Values.webConfig -}}
port: http
path: /metrics
{{- if eq $scheme "https" }}
scheme: https
{{- end }}
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
{{- if .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml .monitor.tlsConfig | nindent 2 }}
{{- else if eq $scheme "https" }}
# Pods are scraped by address, which no certificate names: this is the name to look for in it.
tlsConfig:
  ca:
    secret:
      name: {{ $web.existingSecret | quote }}
      key: {{ $web.caKey | quote }}
  serverName: {{ include "loom-exporter.fullname" .root | quote }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ .relabelings }}:
  # A pod has a new name and address after each restart; its series must go on.
  - sourceLabels: [__meta_kubernetes_namespace]
    targetLabel: instance
    regex: (.+)
    replacement: $1/{{ include "loom-exporter.fullname" .root }}
  - action: labeldrop
    regex: pod|container|endpoint
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
{{ $.metricRelabelings }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The head of a monitor: (dict "root" $ "monitor" .Values.…). */ -}}
{{- define "loom-exporter.monitorMetadata" -}}
{{ include "loom-exporter.metadata" (dict "root" .root "namespace" .monitor.namespace "component" "exporter" "labels" (list .monitor.labels) "annotations" (list .monitor.annotations)) }}
{{- end }}

{{- /* What a monitor looks for; without a namespace it looks into its own. */ -}}
{{- define "loom-exporter.monitorSelector" -}}
{{- with .monitor.namespace }}
namespaceSelector:
  matchNames: [{{ $.root.Release.Namespace | quote }}]
{{- end }}
selector:
  matchLabels:
    {{- include "loom-exporter.exporterSelector" .root | nindent 4 }}
{{- end }}
