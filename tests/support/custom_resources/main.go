// Command custom_resources reads objects of Kubernetes as JSON, one a line, and says of each whether
// the Go types that its project publishes know all its fields. It ends with 1 if they do not.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func published(kind string) any {
	switch kind {
	case "HTTPRoute":
		return &gateway.HTTPRoute{}
	case "PodMonitor":
		return &monitoring.PodMonitor{}
	case "PrometheusRule":
		return &monitoring.PrometheusRule{}
	case "ServiceMonitor":
		return &monitoring.ServiceMonitor{}
	}
	return nil
}

func problem(line []byte) (string, error) {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return "?", err
	}
	object := published(head.Kind)
	if object == nil {
		return head.Kind, fmt.Errorf("no type is known here")
	}
	return head.Kind, yaml.UnmarshalStrict(line, object)
}

func main() {
	code := 0
	lines := bufio.NewReader(os.Stdin)
	for {
		line, end := lines.ReadBytes('\n')
		if len(line) > 1 {
			kind, err := problem(line)
			fmt.Println(kind, err)
			if err != nil {
				code = 1
			}
		}
		if end != nil {
			os.Exit(code)
		}
	}
}
