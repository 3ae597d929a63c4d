//go:build anchor

package main

// What `recorder` is compiled with: it makes `go mod vendor` fetch the package and all that it needs.
import _ "k8s.io/apiserver/pkg/storage/cacher"
