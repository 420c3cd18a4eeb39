{{- /* Variables of one process, as docs/settings.md names them.  Called with (dict "root" $ "name" ... "process" ...). */}}
{{- define "rankgr.environment" -}}
{{- $values := .root.Values -}}
{{- $full := include "rankgr.fullname" .root -}}
{{- $upper := upper .name -}}
{{- $outside := .process.outside -}}
{{- $told := dict (printf "RANKGR_%s_HOST" $upper) "0.0.0.0" (printf "RANKGR_%s_PORT" $upper) (toString .process.port) "RANKGR_DRAIN_S" (toString $values.drainSeconds) -}}
{{- if $values.auth.existingSecret.name }}{{ $_ := set $told "RANKGR_API_KEYS_FILE" (printf "/keys/%s" $values.auth.existingSecret.key) }}{{ end -}}
{{- if $values.auth.allowNoKeys }}{{ $_ := set $told "RANKGR_ALLOW_NO_KEYS" "true" }}{{ end -}}
{{- if and (has "redis" $outside) $values.redis.url }}{{ $_ := set $told "RANKGR_REDIS_URL" $values.redis.url }}{{ end -}}
{{- if has "kafka" $outside }}{{ $told = merge $told (include "rankgr.kafka.told" .root | fromYaml) }}{{ end -}}
{{- if has "bundleStore" $outside }}{{ $_ := set $told "RANKGR_BUNDLE_STORE" (default "/bundles/store" $values.bundle.store) }}{{ end -}}
{{- if and (has "bundleStore" $outside) (not (eq .name "trainer")) }}{{ $_ := set $told "RANKGR_BUNDLE_STAGING" "/staging" }}{{ end -}}
{{- if eq .name "precompute" }}{{ $_ := set $told "RANKGR_PRECOMPUTE_ENGINE_URL" (include "rankgr.engine.urls" .root) }}{{ end -}}
{{- if eq .name "engine" }}
{{- $_ := set $told "RANKGR_ENGINE_MODEL_HOST" $values.engine.host }}
{{- if and $values.engine.gpu.enabled (eq $values.engine.host "torch") }}{{ $_ := set $told "RANKGR_ENGINE_DEVICE" "cuda" }}{{ end -}}
{{- /* Longer than a vLLM takes to start beside the one that serves. */ -}}
{{- if eq $values.engine.host "vllm" }}{{ $_ := set $told "RANKGR_ENGINE_TURN_S" "300" }}{{ end -}}
{{- end -}}
{{- if eq .name "samples" }}
{{- $_ := set $told "RANKGR_SAMPLES_STATE" "/state/samples.sqlite" }}
{{- $_ := set $told "RANKGR_SAMPLES_SHARES" (toString $values.samples.replicas) }}
{{- end -}}
{{- if eq .name "trainer" }}{{ $_ := set $told "RANKGR_TRAINER_STATE" "/state/trainer" }}{{ end -}}
{{- if eq .name "console" }}{{ $told = merge $told (include "rankgr.console.told" .root | fromYaml) }}{{ end -}}
{{- $own := index $values .name -}}
{{- range $name, $value := mergeOverwrite $told (deepCopy $values.env) (deepCopy $own.env) }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with $values.redis.existingSecret }}
{{- if and .name (has "redis" $outside) }}
- name: RANKGR_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if has "kafka" $outside }}{{ include "rankgr.kafka.secrets" .root }}{{ end }}
{{- with $values.auth.apiKey }}
{{- if and .name (has $.name (list "precompute" "console")) }}
- name: RANKGR_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if eq .name "samples" }}
- name: RANKGR_SAMPLES_SHARE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
{{- end }}
{{- end }}

{{- define "rankgr.kafka.told" -}}
RANKGR_KAFKA_BOOTSTRAP: {{ .Values.kafka.bootstrap | quote }}
{{- if .Values.kafka.prefix }}
RANKGR_KAFKA_PREFIX: {{ .Values.kafka.prefix | quote }}
{{- end }}
{{- if .Values.kafka.tls }}
RANKGR_KAFKA_TLS: "true"
{{- end }}
{{- if .Values.kafka.ca.name }}
RANKGR_KAFKA_CA_FILE: /kafka/{{ .Values.kafka.ca.key }}
{{- end }}
{{- if .Values.kafka.sasl.name }}
RANKGR_KAFKA_SASL_MECHANISM: {{ .Values.kafka.sasl.mechanism }}
{{- end }}
{{- end }}

{{- define "rankgr.kafka.secrets" -}}
{{- with .Values.kafka.sasl }}
{{- if .name }}
- name: RANKGR_KAFKA_USERNAME
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .usernameKey }}}}
- name: RANKGR_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .passwordKey }}}}
{{- end }}
{{- end }}
{{- end }}

{{- /* Every engine by a name of its own: precompute chooses by user, and equal texts choose equally. */}}
{{- define "rankgr.engine.urls" -}}
{{- $full := include "rankgr.fullname" . -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.engine.replicas) }}
{{- $urls = append $urls (printf "http://%s-engine-%d.%s-engine:8103" $full $i $full) }}
{{- end -}}
{{- join "," $urls -}}
{{- end }}

{{- define "rankgr.console.told" -}}
{{- $full := include "rankgr.fullname" . -}}
RANKGR_CONSOLE_TRIGGER_URL: http://{{ $full }}-trigger:8101
RANKGR_CONSOLE_RETRIEVAL_URL: http://{{ $full }}-retrieval:8102
RANKGR_CONSOLE_ENGINE_URL: http://{{ $full }}-engine-0.{{ $full }}-engine:8103
RANKGR_CONSOLE_PROCESSES: history=http://{{ $full }}-history:8110,precompute=http://{{ $full }}-precompute:8111
{{- if .Values.samples.enabled }},samples=http://{{ $full }}-samples:8112{{ end }}
{{- if .Values.trainer.enabled }},trainer=http://{{ $full }}-trainer:8113{{ end }}
{{- end }}
