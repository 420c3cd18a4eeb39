{{- /* The pod of one process.  Called with (dict "root" $ "name" ... "process" ...). */}}
{{- define "rankgr.pod" -}}
{{- $values := .root.Values -}}
{{- $own := index $values .name -}}
{{- $gpu := false -}}
{{- $nodes := deepCopy ($own.nodeSelector | default dict) -}}
{{- $tolerated := $own.tolerations | default list -}}
{{- if and (has .name (list "engine" "trainer")) $own.gpu.enabled -}}
{{- $gpu = true -}}
{{- $nodes = merge $nodes (deepCopy $own.gpu.nodeSelector) -}}
{{- $tolerated = concat $tolerated $own.gpu.tolerations -}}
{{- end -}}
metadata:
  labels:
    {{- include "rankgr.selector" . | nindent 4 }}
  {{- with $own.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "rankgr.fullname" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "rankgr.grace" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $values.images.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "rankgr.selector" $ | nindent 10 }}
    {{- end }}
  {{- with $nodes }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $tolerated }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "rankgr.image" . }}
      imagePullPolicy: {{ $values.images.pullPolicy }}
      args: [serve, {{ .name }}]
      ports:
        - {name: http, containerPort: {{ .process.port }}}
      env:
        {{- include "rankgr.environment" . | trim | nindent 8 }}
      {{- if and $values.bundle.credentials (has "bundleStore" .process.outside) }}
      envFrom:
        - secretRef: {name: {{ $values.bundle.credentials }}}
      {{- end }}
      # Until it answers at all; an engine and a trainer read a model first, and warm up.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: {{ ternary 300 60 (has .name (list "engine" "trainer")) }}
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      {{- $resources := deepCopy $own.resources }}
      {{- if $gpu }}
      {{- $_ := set $resources "limits" (merge (dict $own.gpu.resource (toString $own.gpu.count)) $resources.limits) }}
      {{- end }}
      resources:
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        privileged: false
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if and (has "bundleStore" .process.outside) (ne .name "trainer") }}
        - {name: staging, mountPath: /staging}
        {{- end }}
        {{- if and (has "bundleStore" .process.outside) $values.bundle.claim }}
        - {name: bundles, mountPath: /bundles}
        {{- end }}
        {{- if has .name (list "samples" "trainer") }}
        - {name: state, mountPath: /state}
        {{- end }}
        {{- if $values.auth.existingSecret.name }}
        - {name: keys, mountPath: /keys, readOnly: true}
        {{- end }}
        {{- if and $values.kafka.ca.name (has "kafka" .process.outside) }}
        - {name: kafka, mountPath: /kafka, readOnly: true}
        {{- end }}
        {{- if and (eq .name "engine") $gpu }}
        - {name: shm, mountPath: /dev/shm}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 2Gi}
    {{- if and (has "bundleStore" .process.outside) (ne .name "trainer") }}
    - name: staging
      emptyDir: {}
    {{- end }}
    {{- if and (has "bundleStore" .process.outside) $values.bundle.claim }}
    - name: bundles
      persistentVolumeClaim: {claimName: {{ $values.bundle.claim }}}
    {{- end }}
    {{- with $values.auth.existingSecret }}
    {{- if .name }}
    - name: keys
      secret: {secretName: {{ .name }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
    {{- end }}
    {{- end }}
    {{- if and $values.kafka.ca.name (has "kafka" .process.outside) }}
    - name: kafka
      secret: {secretName: {{ $values.kafka.ca.name }}, items: [{key: {{ $values.kafka.ca.key }}, path: {{ $values.kafka.ca.key }}}]}
    {{- end }}
    {{- if and (eq .name "engine") $gpu }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: 2Gi}
    {{- end }}
{{- end }}
