//go:build !prioint

package pq

// up to v0.21 nobody answers a Get once the queue is shut down
const getBlocksAfterShutDown = false

func prio(p any) *int {
	if p == nil {
		return nil
	}
	n := p.(int)
	return &n
}
