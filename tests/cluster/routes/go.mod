// The custom resources of Istio and of the Gateway API, which test_routes.py installs. Nothing of these modules is built.
module github.com/slipway/tests/routes

go 1.24.0

require (
	istio.io/api v1.31.4
	sigs.k8s.io/gateway-api v1.4.0
)
