// Command mc starts the MinIO client: the entry point of the upstream program, built from pinned modules.
package main

import (
	"fmt"
	"os"

	"github.com/minio/mc/cmd"
)

func main() {
	if err := cmd.Main(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
