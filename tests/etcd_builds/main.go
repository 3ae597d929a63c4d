// A real etcd of a given release, for `etcdsim validate --etcd`: etcd's own main function and nothing else.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
