{{/* With what the pods of a service account pull their images. */}}

{{- define "pull" -}}
{{- with .Values.global.pullSecret }}
imagePullSecrets: [{name: {{ . }}}]
{{- end }}
{{- end }}
