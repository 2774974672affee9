module github.com/rtcsignal/rtcsignal/examples/transport-gorilla

go 1.26.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/rtcsignal/rtcsignal v0.0.0
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/rtcsignal/rtcsignal => ../..
