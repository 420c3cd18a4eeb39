{{- /* What a schema cannot say: which values go together.  Included once. */}}
{{- define "rankgr.check" -}}
{{- if not .Values.kafka.bootstrap }}{{ fail "kafka.bootstrap: name the brokers, host:port" }}{{ end -}}
{{- if eq (empty .Values.redis.url) (empty .Values.redis.existingSecret.name) }}{{ fail "redis: either url, or existingSecret.name of a Secret that holds it" }}{{ end -}}
{{- if eq (empty .Values.bundle.store) (empty .Values.bundle.claim) }}{{ fail "bundle: either store (s3://, gs://), or the name of a claim" }}{{ end -}}
{{- if eq (empty .Values.auth.existingSecret.name) (not .Values.auth.allowNoKeys) }}{{ fail "auth: either existingSecret.name of a Secret with API keys, or allowNoKeys: true where network policies keep strangers out" }}{{ end -}}
{{- if and .Values.auth.existingSecret.name (not .Values.auth.apiKey.name) }}{{ fail "auth.apiKey.name: where keys are on, precompute and the console need one of scopes trigger,retrieve,engine,metrics" }}{{ end -}}
{{- if and (eq .Values.engine.host "vllm") (not .Values.engine.gpu.enabled) (eq .Values.images.vllm.repository "rankgr-engine-vllm") }}{{ fail "engine.host: vllm without engine.gpu.enabled needs images.vllm.repository of vLLM's CPU build (rankgr-engine-vllm-cpu)" }}{{ end -}}
{{- if and .Values.kafka.ca.name (not .Values.kafka.tls) }}{{ fail "kafka.ca: means nothing without kafka.tls" }}{{ end -}}
{{- if gt (int .Values.retrieval.autoscaling.minReplicas) (int .Values.retrieval.autoscaling.maxReplicas) }}{{ fail "retrieval.autoscaling: minReplicas is above maxReplicas" }}{{ end -}}
{{- if gt (int .Values.precompute.autoscaling.minReplicas) (int .Values.precompute.autoscaling.maxReplicas) }}{{ fail "precompute.autoscaling: minReplicas is above maxReplicas" }}{{ end -}}
{{- end }}
