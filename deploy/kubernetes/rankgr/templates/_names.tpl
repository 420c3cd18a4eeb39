{{- define "rankgr.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}{{- end -}}
{{- end -}}
{{- end }}

{{- /* Labels that never change: selectors.  Called with (dict "root" $ "name" "trigger"). */}}
{{- define "rankgr.selector" -}}
app.kubernetes.io/name: rankgr
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "rankgr.labels" -}}
{{ include "rankgr.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "rankgr.image" -}}
{{- $images := .root.Values.images -}}
{{- $kind := "light" -}}
{{- if eq .name "engine" -}}{{- $kind = ternary "vllm" "engine" (eq .root.Values.engine.host "vllm") -}}{{- end -}}
{{- if eq .name "trainer" -}}{{- $kind = "trainer" -}}{{- end -}}
{{- /* The others' PyTorch is a CPU build: whoever asks for a GPU takes the image whose PyTorch knows CUDA. */ -}}
{{- if has .name (list "engine" "trainer") -}}{{- if (index .root.Values .name).gpu.enabled -}}{{- $kind = "vllm" -}}{{- end -}}{{- end -}}
{{- $image := index $images $kind -}}
{{- printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- end }}

{{- /* The processes that are on, with what each one is.  reads: the outside systems; asks: our own processes. */}}
{{- define "rankgr.processes" -}}
trigger: {port: 8101, outside: [redis, kafka], asks: []}
retrieval: {port: 8102, outside: [redis, bundleStore], asks: []}
history: {port: 8110, outside: [redis, kafka], asks: []}
precompute: {port: 8111, outside: [redis, kafka, bundleStore], asks: [engine]}
engine: {port: 8103, outside: [bundleStore], asks: []}
{{- if .Values.samples.enabled }}
samples: {port: 8112, outside: [kafka], asks: []}
{{- end }}
{{- if .Values.trainer.enabled }}
trainer: {port: 8113, outside: [kafka, bundleStore], asks: []}
{{- end }}
{{- if .Values.console.enabled }}
console: {port: 8100, outside: [redis, kafka, bundleStore], asks: [trigger, retrieval, engine, history, precompute{{ if .Values.samples.enabled }}, samples{{ end }}{{ if .Values.trainer.enabled }}, trainer{{ end }}]}
{{- end }}
{{- end }}

{{- /* Longer than a process needs: its drain, ten seconds for what is in flight, and what it puts down at the end. */}}
{{- define "rankgr.grace" -}}
{{- $own := dict "engine" 30 "trainer" 60 "samples" 30 "precompute" 25 -}}
{{- add .root.Values.drainSeconds (get $own .name | default 15) -}}
{{- end }}
