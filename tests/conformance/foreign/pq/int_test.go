//go:build prioint

package pq

// up to v0.21 nobody answers a Get once the queue is shut down
const getBlocksAfterShutDown = true

func prio(p any) int {
	if p == nil {
		return 0
	}
	return p.(int)
}
