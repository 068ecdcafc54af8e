// Command minio starts the MinIO server: the entry point of the upstream program, built from pinned modules.
package main

import (
	"os"

	"github.com/minio/minio/cmd"
)

func main() { cmd.Main(os.Args) }
