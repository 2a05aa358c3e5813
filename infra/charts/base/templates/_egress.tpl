{{/* Egress rules that several policies share. */}}

{{- define "egress.store" -}}
{{- if .Values.global.store.external }}
{{- $url := urlParse .Values.global.store.endpoint }}
# A store of your own: its address is a name, which a policy cannot hold.
- ports:
    - {port: {{ (splitList ":" $url.host | rest | first) | default (eq $url.scheme "https" | ternary 443 80) }}, protocol: TCP}
{{- else }}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.platform }}}}
      podSelector: {matchLabels: {app.kubernetes.io/name: object-store}}
  ports:
    - {port: 8333, protocol: TCP}
{{- end }}
{{- end }}

{{- define "egress.postgres" -}}
{{- if .Values.global.postgres.external }}
# A server of your own: its address is a name, which a policy cannot hold.
- ports:
    - {port: {{ .Values.global.postgres.port }}, protocol: TCP}
{{- else }}
- to:
    - podSelector: {matchLabels: {app.kubernetes.io/name: postgres}}
  ports:
    - {port: 5432, protocol: TCP}
{{- end }}
{{- end }}

{{- define "egress.servers" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.platform }}}}
      podSelector: {matchLabels: {app.kubernetes.io/name: mlflow}}
  ports:
    - {port: 5000, protocol: TCP}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.platform }}}}
      podSelector: {matchLabels: {app.kubernetes.io/name: prefect}}
  ports:
    - {port: 4200, protocol: TCP}
{{- end }}

{{- define "egress.kubernetes" -}}
- ports:
    {{- range .Values.kubernetesApi.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
