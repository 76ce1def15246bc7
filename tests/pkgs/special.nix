# SPDX-License-Identifier: Apache-2.0
#
# Packages that exist to be difficult, one for each way in which a name that
# somebody asks for can fail to be an ordinary package.
{ lib, stdenv, pkgs }:
let
  inherit (builtins) foldl' genList substring;

  # A package that is built by a few lines of shell.
  script = pname: attrs: text: stdenv.mkDerivation ({
    inherit pname;
    version = "1.0";
    PATH = "${stdenv.tools}/bin";
    args = [ "-euc" text ];
  } // attrs);
  # What a package builds when that is not the point.
  program = ''
    mkdir -p $out/bin
    printf '#!${pkgs.bashInteractive}/bin/bash\necho %s\n' "$pname" >$out/bin/$pname
    chmod 755 $out/bin/$pname
  '';
  # 200,000 lines, some 7 MB.
  noise = ''
    i=0
    while [ $i -lt 200000 ]; do
      i=$((i + 1))
      echo "line $i of a very chatty build"
    done >&2
  '';
  noHash = "0000000000000000000000000000000000000000000000000000";
  noPath = "/nix/store/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-fake";

  refused = {
    brokenPkg = script "broken-pkg" { meta.broken = true; } program;
    unfreePkg = script "unfree-pkg" { meta.license = lib.licenses.unfree; } program;
    insecurePkg = script "insecure-pkg"
      { meta.knownVulnerabilities = [ "CVE-2099-0001" "nobody looks after it" ]; }
      program;
    unsupportedPkg = script "unsupported-pkg" { meta.platforms = [ "riscv64-linux" ]; } program;
    # what Debian calls amd64 alone: one platform of two lacks it
    amd64Only = script "amd64-only" { meta.platforms = [ "x86_64-linux" ]; } program;
    # The form of nixpkgs' aliases.nix.
    oldName = throw "'oldName' has been renamed to/replaced by 'hello'";
    removedPkg = throw "'removedPkg' has been removed, as nobody looked after it";
    dependsOnUnfree = script "depends-on-unfree" { dep = pkgs.unfreePkg; } program;
  };

  # tryEval catches throw and assert, and nothing else.
  evaluation = {
    throwing = throw "this package always throws";
    asserting = assert 1 == 2; pkgs.hello;
    aborting = abort "this package aborts";
    missingAttr = pkgs.doesNotExist.atAll;
    missingArgument = script "missing-argument" { dep = pkgs.noSuchPackage; } program;
    typeError = 1 + "x";
    importsMissing = import ./no-such-file.nix;
    recursing = let x = x + 1; in x;
    overflowing = let down = n: 1 + down n; in down 0;
    # Needs all memory there is; needs all the time there is.
    hungry = foldl' (all: x: all ++ [ x ]) [ ] (genList (x: x) 100000000);
    looping =
      let thousand = genList (x: x) 1000; in
      foldl' (_: _: foldl' (_: x: x) 0 thousand) 0 (genList (x: x) 1000000);
    nameThrows = script "name-throws" { } program // { name = throw "the name throws"; };
    metaThrows = script "meta-throws" { meta.description = throw "the description throws"; } program;
    licenseThrows = script "license-throws" { } program
      // { meta.license = throw "the licence throws"; };
    licenseOdd = script "license-odd" { } program
      // { meta.license = [ "my own" lib.licenses.mit lib.licenses.publicDomain { } ]; };
    badOutputs = script "bad-outputs" { meta.outputsToInstall = [ "nope" ]; } program;
    tracing = builtins.trace "a line of trace" (script "tracing" { } program);
    chattyEval = foldl' (pkg: n: builtins.trace "line ${toString n} of trace" pkg)
      (script "chatty-eval" { } program)
      (genList (n: n) 20000);
    # Import from derivation: something is built while evaluating.
    ifd = script (import (script "ifd-name" { } "echo '\"ifd\"' >$out")) { } program;
    # What an attacker would want in an image; restricted mode forbids it.
    readsFile = script "reads-${substring 0 4 (builtins.readFile "/etc/hostname")}" { } program;
    fetchesUrl = import (builtins.fetchTarball "http://127.0.0.1:1/x.tar.gz");
  };

  notPackages = {
    aString = "just a string";
    stringPath = "${pkgs.hello}";
    anInt = 42;
    aFloat = 0.5;
    aBool = true;
    aNull = null;
    aList = [ pkgs.hello ];
    aPath = ./lib.nix;
    aFunction = x: x;
    functor.__functor = self: x: x;
    emptySet = { };
    # Sets that say they are packages.
    fakeDerivation = { type = "derivation"; name = "fake"; outPath = noPath; };
    evilOutPath = {
      type = "derivation";
      name = "evil";
      outPath = "/etc";
      drvPath = "/etc/passwd";
      outputs = [ "out" ];
      outputName = "out";
    };
    lyingOutPath = pkgs.hello // { outPath = "/etc"; out = lyingOut; };
  };
  lyingOut = pkgs.hello.out // { outPath = "/etc"; };

  building = {
    failing = script "failing" { } ''
      echo 'line one'
      echo 'the reason why it fails' >&2
      exit 17
    '';
    dependsOnFailing = script "depends-on-failing" { dep = pkgs.failing; } program;
    # Never end, in effect: with a line a second, without a word, without
    # minding a SIGTERM.
    slow = script "slow" { } ''
      for i in $(seq 3600); do echo tick $i; sleep 1; done
    '';
    silent = script "silent" { } ''
      echo going quiet
      sleep 3600
    '';
    stubborn = script "stubborn" { } ''
      trap "" TERM INT HUP
      echo not stopping
      while :; do sleep 1; done
    '';
    forking = script "forking" { } ''
      (trap "" TERM INT HUP; sleep 3600) &
      echo left something running
      exit 1
    '';
    # Ends after a while, so that many can wait for one.
    slowish = script "slowish" { } ''
      for i in 1 2 3 4 5 6; do echo tick $i; sleep 1; done
      ${program}
    '';
    loud = script "loud" { } (noise + program);
    loudFailing = script "loud-failing" { } (noise + "exit 1");
    # One line of 2 MB, and bytes that are no text.
    longLine = script "long-line" { } ''
      head -c 2000000 /dev/zero | tr '\0' x
      printf '\n\033[31mred\033[0m \377\376 <b>&amp;</b>\r\n'
      exit 1
    '';
    noOutput = script "no-output" { } "echo done nothing";
    specialFile = script "special-file" { } "mkfifo $out";
    cyclic = script "cyclic" { outputs = [ "out" "lib" ]; } "echo $lib >$out; echo $out >$lib";
    fodMismatch = script "fod-mismatch"
      { outputHash = noHash; outputHashAlgo = "sha256"; outputHashMode = "flat"; }
      "echo something else >$out";
    fetchFails = pkgs.fetchurl { url = "http://127.0.0.1:1/x"; sha256 = noHash; };
    networkUser = script "network-user" { } ''
      wget -T 2 -O $out http://127.0.0.1:80/ || { echo no network; exit 5; }
    '';
    wrongSystem = script "wrong-system" { } program // derivation {
      name = "wrong-system-1.0";
      system = "riscv64-linux";
      builder = stdenv.shell;
    } // { inherit stdenv; };
    needsFeature = script "needs-feature" { requiredSystemFeatures = [ "kvm-of-dreams" ]; } program;
  };

  # These build: what is difficult is what they contain.
  shapes = {
    singleFile = script "single-file" { } "echo content >$out";
    singleProgram = script "single-program" { } ''
      printf '#!${pkgs.bashInteractive}/bin/bash\necho single\n' >$out
      chmod 755 $out
    '';
    isSymlink = script "is-symlink" { } "ln -s ${pkgs.hello} $out";
    emptyDir = script "empty-dir" { } "mkdir $out";
    linksDir = script "links-dir" { } ''
      mkdir $out
      ln -s ${pkgs.hello}/bin ${pkgs.hello}/share $out/
    '';
    rootFiles = script "root-files" { } ''
      mkdir -p $out/etc/ssl/certs $out/tmp $out/usr/bin $out/bin $out/nix/store $out/proc $out/dev
      echo 'x:x:0:0::/:/bin/x' >$out/etc/passwd
      for file in etc/group etc/nsswitch.conf etc/ssl/certs/ca-bundle.crt tmp/file \
        usr/bin/env bin/sh nix/store/file proc/file dev/null .wh.etc .wh..wh..opq
      do
        echo "root-files $file" >$out/$file
      done
    '';
    # Where a symlink forest or an unpacker could be led astray.
    escapingLinks = script "escaping-links" { } ''
      mkdir -p $out/share/escaping $out/bin
      cd $out/share/escaping
      ln -s /etc/passwd absolute
      ln -s ../../../../../../etc/passwd upwards
      ln -s . here
      ln -s loop loop
      ln -s $out/share parent
      ln -s no/such/target dangling
      ln -s ../../../../../../etc $out/etc
      ln -s /bin/sh $out/bin/linked-sh
    '';
    oddFiles = script "odd-files" { } ''
      mkdir -p $out/bin $out/lib $out/share/odd
      cd $out/share/odd
      n=0
      for name in 'with space' 'quote"and\backslash' "quote'and\$dollar" -dash '#hash' \
        'a:b' 'trailing ' 'trailing.' '*' '[x]' '{x}' '%41' '~' '!' \
        "$(printf 'new\nline')" "$(printf 'tab\tand\rreturn')" "$(printf 'del\177')" \
        "$(printf 'utf8-\303\251')" "$(printf 'combining-e\314\201')" \
        "$(printf 'latin1-\351')" "$(printf 'bom-\357\273\277')" \
        "$(printf '%0255d' 0)"
      do
        n=$((n + 1))
        echo $n >"./$name"
      done
      # Byte order is not any locale's: B a ä, and / sorts below all.
      mkdir dir
      touch B a "$(printf '\303\244')" dir/file dir-file dir.file
      # Paths and targets around the 100 and 155 bytes of old tar headers.
      for length in 98 99 100 101 154 155 156 250; do
        long=$(printf "%0''${length}d" 0)
        echo $length >"n$long"
        ln -s "/$long" link$length
      done
      deep=deep
      for i in $(seq 12); do deep=$deep/0123456789012345678901234567; done
      mkdir -p $deep emptydir
      echo deep >$deep/file
      : >empty
      ln empty hard1
      ln empty hard2
      echo linked >hard3
      ln hard3 $out/lib/hard4
      echo run >exec
      chmod 755 exec
      dd if=/dev/zero of=sparse bs=1 count=1 seek=10M 2>/dev/null
      for size in 1 511 512 513 1023 1024 10240; do
        head -c $size /dev/zero >size$size
      done
      printf '#!${pkgs.bashInteractive}/bin/bash\n' >$out/bin/odd
      chmod 755 $out/bin/odd
    '';
    manyFiles = script "many-files" { } ''
      for i in $(seq 40); do
        mkdir -p $out/share/many/$i
        cd $out/share/many/$i
        touch $(seq 100)
      done
    '';
    # A and B disagree about a file, and one has a directory where the other
    # has a file; C agrees with A.
    collideA = script "collide-a" { } ''
      mkdir -p $out/bin $out/share/dir
      echo a >$out/bin/same
      echo a >$out/share/mixed
      echo a >$out/share/dir/a
    '';
    collideB = script "collide-b" { } ''
      mkdir -p $out/bin $out/share/mixed $out/share/dir
      echo b >$out/bin/same
      echo b >$out/share/mixed/file
      echo b >$out/share/dir/b
    '';
    collideC = script "collide-c" { } ''
      mkdir -p $out/bin $out/share
      echo a >$out/bin/same
      ln -s ${pkgs.collideA}/share/dir $out/share/dir
    '';
    # Names that differ in case only.
    twin = script "twin" { } program;
    Twin = script "Twin" { } program;
    multi = script "multi" { outputs = [ "out" "dev" "man" "doc" ]; } ''
      mkdir -p $dev/include $man/share/man/man1 $doc/share/doc/multi
      echo "/* $out */" >$dev/include/multi.h
      echo manual >$man/share/man/man1/multi.1
      echo documentation >$doc/share/doc/multi/text
      ${program}
    '';
    multiBinFirst = script "multi-bin-first" { outputs = [ "bin" "out" ]; } ''
      mkdir -p $out/lib $bin/bin
      echo library >$out/lib/library
      echo $out >$bin/bin/multi-bin-first
    '';
    propagating = script "propagating" { } ''
      mkdir -p $out/nix-support
      echo ${pkgs.hello} >$out/nix-support/propagated-user-env-packages
      ${program}
    '';
    selfReference = script "self-reference" { } "echo $out >$out";
    # 300 store paths from one build: o<i> refers to o<i-1> and o<i/2>, out to
    # all; from nothing to 300 kB.
    outs300 = script "outs300" { outputs = [ "out" ] ++ genList (i: "o${toString i}") 299; } ''
      mkdir -p $out/share/outs
      i=0
      before=
      half=
      for name in $outputs; do
        [ $name != out ] || continue
        eval "dir=\$$name"
        [ $i = 0 ] || eval "half=\$o$((i / 2))"
        mkdir -p $dir/share/outs
        echo "$before $half" >$dir/share/outs/$name
        head -c $((i * 1000)) /dev/zero >$dir/share/outs/$name.data
        echo $dir >>$out/share/outs/all
        before=$dir
        i=$((i + 1))
      done
    '';
  };
in
refused // evaluation // notPackages // building // shapes // {
  # For ./all.nix.  One output of outs300 brings the other 299.
  shapes = lib.attrValues (shapes // {
    outs300 = shapes.outs300 // { all = [ shapes.outs300 ]; };
  });
}
