package trace_test

const exportGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: isthmus-crosscluster, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - port: {number: 15443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.isthmus.internal"]
`

const published = exportGateway + `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin-export, namespace: app2}
spec:
  hosts: [httpbin.global.isthmus.internal]
  exportTo: [istio-system]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP, targetPort: 80}
  - {number: 9000, name: tcp-isthmus-9000, protocol: TCP, targetPort: 9090}
  workloadSelector: {labels: {app: httpbin}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin-export, namespace: app2}
spec:
  host: httpbin.global.isthmus.internal
  exportTo: [istio-system]
  subsets:
  - {name: v2, labels: {version: v2}}
`

const consumed = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin-remote, namespace: app2}
spec:
  hosts: [httpbin.global]
  addresses: [241.0.0.1]
  exportTo: ["*"]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP}
  - {number: 9000, name: tcp-isthmus-9000, protocol: TCP}
  subjectAltNames: [spiffe://two.example/ns/app2/sa/httpbin]
  endpoints:
  - address: 192.0.2.2
    ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}
    locality: eu/eu-b
    labels: {security.istio.io/tlsMode: istio}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: app2}
spec:
  host: httpbin.global
  exportTo: ["*"]
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 5, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 100}
    tls: {mode: ISTIO_MUTUAL, sni: outbound_.8000_._.httpbin.global.isthmus.internal}
    portLevelSettings:
    - port: {number: 9000}
      outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 5, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 100}
      tls: {mode: ISTIO_MUTUAL, sni: outbound_.9000_._.httpbin.global.isthmus.internal}
`
