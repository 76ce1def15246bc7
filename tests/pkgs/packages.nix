# SPDX-License-Identifier: Apache-2.0
#
# What Debian's packages are called here, and what is particular about them.
# All else follows from the lock: see debs.nix.
{ lib, pkgs }:
let
  inherit (lib) licenses;

  perlModules = {
    libio-pty-perl = "IOTty";
    libipc-run-perl = "IPCRun";
    liberror-perl = "Error";
    libtimedate-perl = "TimeDate";
    libtime-duration-perl = "TimeDuration";
  };
  pythonModules = {
    chardet = "chardet";
    python-certifi = "certifi";
    python-charset-normalizer = "charset-normalizer";
    python-idna = "idna";
    python-urllib3 = "urllib3";
    requests = "requests";
    six = "six";
  };
  within = set: builtins.mapAttrs (_: name: "${set}.${name}");

  # Shell for fixup.
  perl5lib = ''
    perl5lib=
    for dep in $deps; do
      [ ! -f $dep/nix-support/perl5lib ] || perl5lib=$perl5lib$(cat $dep/nix-support/perl5lib)
    done
  '';
  wrapForTerminal = program: ''
    for dep in $deps; do
      [ ! -d $dep/share/terminfo ] || terminfo=$dep/share/terminfo
    done
    wrap $out/bin/${program} "export TERMINFO_DIRS=\''${TERMINFO_DIRS-}:$terminfo"
  '';
  perlModule.fixup = perl5lib + ''
    for dir in $out/share/perl5 $out/lib/perl5/*; do
      [ ! -d "$dir" ] || perl5lib=$dir:$perl5lib
    done
    mkdir -p $out/nix-support
    printf %s "$perl5lib" >$out/nix-support/perl5lib
  '';
  pythonModule.fixup = ''
    for dep in $deps; do
      [ ! -x $dep/bin/python3 ] || python=$(basename $dep/lib/python3.*)
    done
    mkdir -p $out/lib/$python $out/nix-support
    mv $out/lib/python3/dist-packages $out/lib/$python/site-packages
    rmdir $out/lib/python3
    echo $deps >$out/nix-support/propagated-build-inputs
    # Debian's modules use the certificates of the system.
    for dep in $deps; do
      certs=$dep/etc/ssl/certs/ca-bundle.crt
      [ ! -f $certs ] || grep -rl /etc/ssl/certs/ca-certificates.crt $out |
        xargs -r sed -i "s,/etc/ssl/certs/ca-certificates.crt,$certs,"
    done
  '';
in
{
  names = {
    # Debian's source package -> attribute path; the same name if not here.
    bySource = {
      "7zip" = "_7zz";
      bash = "bashInteractive";
      ca-certificates = "cacert";
      cyrus-sasl2 = "cyrus_sasl";
      gnutls28 = "gnutls";
      grep = "gnugrep";
      hlint = "haskellPackages.hlint";
      krb5 = "libkrb5";
      libnl3 = "libnl";
      libonig = "oniguruma";
      libtasn1-6 = "libtasn1";
      libx11 = "xorg.libX11";
      libxau = "xorg.libXau";
      libxcb = "xorg.libxcb";
      libxdmcp = "xorg.libXdmcp";
      libxext = "xorg.libXext";
      libxrandr = "xorg.libXrandr";
      libxrender = "xorg.libXrender";
      libzstd = "zstd";
      mpfr4 = "mpfr";
      netbase = "iana-etc";
      python3-defaults = "python3";
      rust-ripgrep = "ripgrep";
      sed = "gnused";
      shellcheck = "haskellPackages.ShellCheck";
      sqlite3 = "sqlite";
      tar = "gnutar";
      x11-utils = "xorg.xev";
      xz-utils = "xz";
    } // within "perlPackages" perlModules // within "python3Packages" pythonModules;

    # Where the source has a version in its name, or makes two packages here:
    # a pattern of SOURCE/DEB, the attribute path.
    byPattern = [
      [ "curl/libcurl.*-gnutls" "curlGnutls" ]
      [ "db[0-9.]+/.*" "db" ]
      [ "gcc-[0-9]+/libstdc.*" "libstdcxx" ]
      [ "gcc-[0-9]+/.*" "libgcc" ]
      [ "python3\\.[0-9]+/.*" "python3" ]
    ];

    # Built before there is a shell.
    bare = [ "glibc" "ncurses" "bashInteractive" ];
  };

  settings = {
    _7zz = {
      pname = "7zz";
      meta = { license = licenses.lgpl21Plus; mainProgram = "7zz"; };
      # The other names are scripts that call it by its place in Debian.
      fixup = ''
        for script in $out/bin/*; do
          [ "$(head -c 2 $script)" != '#!' ] || sed -i "s,/usr/lib,$out/lib,g" $script
        done
        # Debian 13 has the name 7zz for the free build only.
        [ -e $out/bin/7zz ] || ln -s 7z $out/bin/7zz
      '';
    };
    bashInteractive = {
      pname = "bash-interactive";
      outputs = [ "out" "man" ];
      keep = "bin/bash share/man/man1/bash.1.gz";
      fixup = "ln -s bash $out/bin/sh";
      meta = { license = licenses.gpl3Plus; mainProgram = "bash"; };
    };
    cacert = {
      pname = "nss-cacert";
      outputs = [ "out" "unbundled" ];
      fixup = ''
        certs=etc/ssl/certs
        mkdir -p $out/$certs $unbundled/$certs $out/nix-support
        for crt in share/ca-certificates/mozilla/*.crt; do
          cat $crt >>$out/$certs/ca-bundle.crt
          mv $crt $unbundled/$certs/
        done
        rm -rf $out/bin $out/share
        echo "export NIX_SSL_CERT_FILE=$out/$certs/ca-bundle.crt" >$out/nix-support/setup-hook
      '';
      meta.license = licenses.mpl20;
    };
    coreutils.meta.license = licenses.gpl3Plus;
    curl = {
      outputs = [ "bin" "out" "man" ];
      meta = { license = licenses.curl; mainProgram = "curl"; };
    };
    file = {
      # The place of the data is compiled in.
      fixup = ''wrap $out/bin/file "export MAGIC=$out/lib/file/magic.mgc"'';
      meta = { license = licenses.bsd3; mainProgram = "file"; };
    };
    gawk = {
      fixup = "ln -s gawk $out/bin/awk";
      meta = { license = licenses.gpl3Plus; mainProgram = "gawk"; };
    };
    git = {
      drop = "share/gitweb";
      # These places are compiled in.
      fixup = perl5lib + ''
        core=$out/lib/git-core templates=$out/share/git-core/templates
        wrap $out/bin/git "export GIT_EXEC_PATH=$core GIT_TEMPLATE_DIR=$templates GITPERLLIB=$out/share/perl5:$perl5lib"
      '';
      meta = { license = licenses.gpl2Only; mainProgram = "git"; };
    };
    glibc = {
      main = "libc6";
      outputs = [ "out" "bin" ];
      drop = "lib/gconv lib/audit bin/ldd bin/tzselect bin/catchsegv";
      # Programs of the C library need the C library as well.
      fixup = ''
        for loader in $out/lib/ld-linux*.so.*; do break; done
        libs=$out/lib
        for program in $bin/bin/*; do
          chmod u+w $program
          fix_elf $program
        done
      '';
      meta.license = licenses.lgpl21Plus;
    };
    gnugrep.meta.mainProgram = "grep";
    gnused.meta.mainProgram = "sed";
    gnutar.meta.mainProgram = "tar";
    hello.meta = { license = licenses.gpl3Plus; mainProgram = "hello"; };
    htop = {
      fixup = wrapForTerminal "htop";
      meta = { license = licenses.gpl2Only; mainProgram = "htop"; };
    };
    iana-etc = {
      keep = "etc/protocols etc/services";
      meta.license = licenses.publicDomain;
    };
    jq = {
      outputs = [ "bin" "doc" "man" "out" ];
      meta = { license = licenses.mit; mainProgram = "jq"; };
    };
    less = {
      fixup = wrapForTerminal "less";
      meta = { license = licenses.gpl3Plus; mainProgram = "less"; };
    };
    moreutils = {
      fixup = perl5lib + ''
        for script in $out/bin/*; do
          case $(head -n 1 $script | tr -c 'a-z/!#\n' .) in
          '#!'*/perl*) wrap $script "export PERL5LIB=$perl5lib\''${PERL5LIB-}" ;;
          esac
        done
      '';
      meta.license = licenses.gpl2Plus;
    };
    nano = {
      fixup = wrapForTerminal "nano";
      meta = { license = licenses.gpl3Plus; mainProgram = "nano"; };
    };
    ncurses = {
      main = "ncurses-bin";
      outputs = [ "out" "man" ];
      # One place for all terminals.
      fixup = ''
        for dir in $out/lib/terminfo $out/etc/terminfo; do
          merge $dir $out/share/terminfo
          rm -rf $dir
        done
      '';
      meta.license = licenses.mit;
    };
    openssl = {
      outputs = [ "bin" "dev" "out" "man" ];
      drop = "share/man/man3 lib/ssl";
      meta = { license = licenses.asl20; mainProgram = "openssl"; };
    };
    perl = {
      main = "perl-base";
      drop = "share/man";
      # @INC is compiled in.  There is one real directory of each kind, beside
      # links with shorter versions.
      fixup = ''
        inc=$out/lib/perl-base
        for dir in $out/lib/perl/* $out/share/perl/*; do
          [ -L $dir ] || inc=$inc:$dir
        done
        for perl in $out/bin/perl*; do
          case $perl in */perl | */perl5*)
            wrap $perl "export PERL5LIB=\''${PERL5LIB:+\$PERL5LIB:}$inc" ;;
          esac
        done
      '';
      meta.mainProgram = "perl";
    };
    python3 = {
      main = "python3";
      drop = "bin/py3compile bin/py3clean bin/py3versions lib/python3 lib/python3.*/pydoc_data lib/python3.*/lib2to3 share/python3";
      fixup = "ln -s python3 $out/bin/python";
      meta = { license = licenses.psfl; mainProgram = "python3"; };
    };
    ripgrep.meta = { license = licenses.mit; mainProgram = "rg"; };
    sqlite = {
      outputs = [ "bin" "dev" "out" ];
      meta = { license = licenses.publicDomain; mainProgram = "sqlite3"; };
    };
    "xorg.xev" = {
      keep = "bin/xev share/man/man1/xev.1.gz";
      meta.mainProgram = "xev";
    };
    zlib = {
      outputs = [ "out" "dev" ];
      meta.license = licenses.zlib;
    };
    "haskellPackages.ShellCheck".meta = { license = licenses.gpl3Plus; mainProgram = "shellcheck"; };
    "haskellPackages.hlint".meta = { license = licenses.bsd3; mainProgram = "hlint"; };
  }
  // lib.genAttrs (map (m: "perlPackages.${m}") (lib.attrValues perlModules)) (_: perlModule)
  // lib.genAttrs (map (m: "python3Packages.${m}") (lib.attrValues pythonModules)) (_: pythonModule);

  # Other names that nixpkgs has for the same.
  aliases = {
    bash = pkgs.bashInteractive;
    gitMinimal = pkgs.git;
    pythonPackages = pkgs.python3Packages;
    shellcheck = pkgs.haskellPackages.ShellCheck;
  };
}
