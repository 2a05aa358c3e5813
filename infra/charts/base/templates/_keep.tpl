{{/* What a pod of a released model needs stays when the platform is taken away: `slipway teardown` leaves models. */}}

{{- define "keep" -}}
annotations: {helm.sh/resource-policy: keep}
{{- end }}
