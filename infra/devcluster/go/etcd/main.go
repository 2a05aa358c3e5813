// etcd for the development cluster: the server alone, without its proxies' and clients' programs.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
