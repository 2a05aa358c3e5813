// rclone with the two backends and the one command that fetch a model; remotes are given by the environment
// (RCLONE_CONFIG_S3_TYPE and so on).
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/copy"
)

func main() { cmd.Main() }
