{{/* Who policies speak of. The chart of JupyterHub labels its pods with `component`. */}}

{{- define "peer.servers" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.notebooks }}}}
podSelector: {matchLabels: {app.kubernetes.io/component: singleuser-server}}
{{- end }}

{{- define "peer.hub" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.notebooks }}}}
podSelector: {matchLabels: {app.kubernetes.io/component: hub}}
{{- end }}

{{- define "peer.spark" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.notebooks }}}}
podSelector: {matchLabels: {slipway.io/role: spark-notebook}}
{{- end }}

{{- define "peer.executors" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.namespaces.executors }}}}
podSelector: {matchLabels: {spark-role: executor}}
{{- end }}

{{/* A pod of the platform: (list . NAME). */}}
{{- define "peer.platform" -}}
{{- $top := index . 0 -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $top.Values.global.namespaces.platform }}}}
podSelector: {matchLabels: {app.kubernetes.io/name: {{ index . 1 }}}}
{{- end }}

{{- define "egress.store" -}}
{{- if .Values.global.store.external }}
{{- $url := urlParse .Values.global.store.endpoint }}
# A store of your own: its address is a name, which a policy cannot hold.
- ports:
    - {port: {{ (splitList ":" $url.host | rest | first) | default (eq $url.scheme "https" | ternary 443 80) }}, protocol: TCP}
{{- else }}
- to:
    - {{- include "peer.platform" (list . "object-store") | nindent 6 }}
  ports:
    - {port: 8333, protocol: TCP}
{{- end }}
{{- end }}

{{- define "egress.kubernetes" -}}
- ports:
    {{- range .Values.kubernetesApi.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
