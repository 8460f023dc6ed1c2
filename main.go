// Spillway is a load-testing and capacity-simulation harness for flash crowds.
package main

import (
	"os"

	"spillway/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
