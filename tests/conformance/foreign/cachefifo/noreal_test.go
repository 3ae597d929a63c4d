//go:build !realfifo

package cachefifo

import "k8s.io/client-go/tools/cache"

func newReal(known cache.KeyListerGetter) fifo { return nil }
