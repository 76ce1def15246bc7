// SPDX-License-Identifier: Apache-2.0

// The peer of `make bench-pack`: store paths to one layer with nothing but
// Go's standard library, in one goroutine: tar, SHA-256 of the archive, gzip
// at its default level, SHA-256 of that, and a file.
//
// usage: gopack ROOT OUTPUT STOREPATH...
package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

func add(t *tar.Writer, root, path string) error {
	return filepath.WalkDir(root+path, func(real string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(real)
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(real); err != nil {
				return err
			}
		}
		head, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		head.Name = real[len(root)+1:]
		if info.IsDir() {
			head.Name += "/"
		}
		head.ModTime = time.Unix(1, 0)
		head.Uid, head.Gid, head.Uname, head.Gname = 0, 0, "", ""
		if err = t.WriteHeader(head); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(real)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(t, file)
		return err
	})
}

func run(root, output string, paths []string) error {
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	digest, diff := sha256.New(), sha256.New()
	out := bufio.NewWriterSize(file, 1<<16)
	zip := gzip.NewWriter(io.MultiWriter(out, digest))
	t := tar.NewWriter(io.MultiWriter(zip, diff))
	for _, p := range paths {
		if err := add(t, root, p); err != nil {
			return err
		}
	}
	for _, f := range []func() error{t.Close, zip.Close, out.Flush} {
		if err := f(); err != nil {
			return err
		}
	}
	fmt.Printf("sha256:%x sha256:%x\n", digest.Sum(nil), diff.Sum(nil))
	return file.Close()
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: gopack ROOT OUTPUT STOREPATH...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "gopack:", err)
		os.Exit(1)
	}
}
