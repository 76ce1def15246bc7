// SPDX-License-Identifier: Apache-2.0

// Lists the archive on standard input as Go's archive/tar reads it, like
// readtar.py: for each entry a line with its name (hex), type, permissions,
// size, mtime, owner, target of a link (hex) and SHA-256 of the contents.
package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

func list(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		sum := sha256.New()
		if _, err = io.Copy(sum, t); err != nil {
			return err
		}
		target := fmt.Sprintf("%x", h.Linkname)
		if target == "" {
			target = "-"
		}
		fmt.Printf("%x %c %o %d %d %d:%d %s %x\n", h.Name, h.Typeflag,
			h.Mode, h.Size, h.ModTime.Unix(), h.Uid, h.Gid,
			target, sum.Sum(nil))
	}
}

func main() {
	z, err := gzip.NewReader(os.Stdin)
	if err == nil {
		err = list(z)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "readtar:", err)
		os.Exit(1)
	}
}
