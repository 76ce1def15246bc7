# SPDX-License-Identifier: Apache-2.0
#
# shellcheck shell=sh disable=SC2154,SC2016
# The builder of every package made from .debs: unpack them, move the files to
# where nixpkgs would have them, divide them among the outputs, and make
# programs, libraries and scripts refer to store paths only.
#
# Run by busybox sh.  The derivation's attributes come as variables:
#
#   debs     the packages to unpack
#   deps     store paths whose lib/ and bin/ may be referred to
#   outputs  names of the outputs; each name is a variable too
#   triple   Debian's name for the architecture
#   loader   the dynamic loader that programs get, empty for the C library
#   shell    the shell that scripts and wrappers get, may be empty
#   keep     if not empty: only these files (globs, after moving)
#   drop     not these (globs, after moving)
#   fixup    shell code to run at the end
set -eu
export LC_ALL=C

has() {
	case " $outputs " in *" $1 "*) return 0 ;; esac
	return 1
}

# Move what is in directory $1 into directory $2.  What is there already stays:
# it came from the more specific place.
merge() {
	[ -d "$1" ] && [ ! -L "$1" ] || return 0
	mkdir -p "$2"
	for entry in "$1"/* "$1"/.[!.]*; do
		if [ -d "$entry" ] && [ ! -L "$entry" ] &&
			[ -d "$2/${entry##*/}" ]; then
			merge "$entry" "$2/${entry##*/}"
		elif [ -e "$entry" ] || [ -L "$entry" ]; then
			[ -e "$2/${entry##*/}" ] || mv "$entry" "$2/"
		fi
	done
}

# Print where a path of the Debian tree ends up in ours, nothing if nowhere.
moved() {
	case $1 in
	usr/bin/* | usr/sbin/* | usr/games/*) echo "bin/${1#usr/*/}" ;;
	bin/* | sbin/*) echo "bin/${1#*/}" ;;
	usr/lib/"$triple"/*) echo "lib/${1#usr/lib/"$triple"/}" ;;
	lib/"$triple"/*) echo "lib/${1#lib/"$triple"/}" ;;
	usr/include/"$triple"/*) echo "include/${1#usr/include/"$triple"/}" ;;
	usr/*) echo "${1#usr/}" ;;
	lib/* | etc/*) echo "$1" ;;
	esac
}

# --- Unpack, inside the output: a move to it is then only a rename.

tree=$out/.debian
mkdir -p "$tree"
cd "$tree"
for deb in $debs; do
	ar p "$deb" data.tar.xz | tar -xJof -
done

# --- Move.

# Print path $1 without . and .. in it.
plain() {
	echo "$1" | sed -e ':a' -e 's,/\./,/,;ta' -e 's,^\./,,;ta' \
		-e 's,[^/]*[^/.]/\.\./,,;ta'
}

# A link that leaves its directory may point to the wrong place afterwards.
find . -type l | sort | while IFS= read -r link; do
	target=$(readlink "$link")
	link=${link#./}
	case $target in
	/*) path=$(moved "$(plain "${target#/}")") ;;
	*/*)
		path=$(moved "$(plain "${link%/*}/$target")")
		new=$(moved "$link")
		[ "$path" != "$(plain "${new%/*}/$target")" ] || continue
		;;
	*) continue ;;
	esac
	ln -sfn "$out/${path:-nowhere}" "$link"
done

for dir in usr/bin usr/sbin usr/games bin sbin; do
	merge "$dir" "$out/bin"
done
# The directories of the architecture go first, and away: what is left in lib
# are links into them.
for dir in "usr/lib/$triple" "lib/$triple"; do
	merge "$dir" "$out/lib"
	rm -rf "$dir"
done
merge usr/lib "$out/lib"
merge lib "$out/lib"
merge "usr/include/$triple" "$out/include"
rm -rf "usr/include/$triple"
for dir in libexec include share; do
	merge "usr/$dir" "$out/$dir"
done
merge etc "$out/etc"
cd "$out"
rm -rf .debian share/lintian share/bug share/doc-base share/menu share/locale \
	share/info share/apport lib/systemd lib/tmpfiles.d lib/udev
has doc || rm -rf share/doc

if [ -n "${keep:-}" ]; then
	mkdir .keep
	for file in $keep; do
		mkdir -p ".keep/${file%/*}"
		mv "$file" ".keep/$file"
	done
	rm -rf ./*
	merge .keep .
	rm -rf .keep
else
	# Debian's configuration of the system, which no program here reads.
	rm -rf etc
fi
# shellcheck disable=SC2086 # globs
rm -rf ${drop:-}

# --- Divide.

give() { # OUTPUT PATH...: these belong to that output, if there is one
	has "$1" || return 0
	eval "to=\$$1"
	shift
	for file in "$@"; do
		[ -e "$file" ] || [ -L "$file" ] || continue
		mkdir -p "$to/${file%/*}"
		mv "$file" "$to/$file"
	done
}
# Directly in lib a name that ends in .so is for the linker, unless it is a
# file: then it is a plugin or a library without versions.
linker_names() {
	for file in lib/*.so; do [ ! -L "$file" ] || echo "$file"; done
}
# shellcheck disable=SC2046
give dev ./include lib/pkgconfig lib/*.a share/aclocal $(linker_names)
give doc share/doc
give man share/man
give bin ./bin
if has bin && ! has man; then give bin share/man; fi
for name in $outputs; do
	eval "mkdir -p \"\$$name\""
	eval "find \"\$$name\" -depth -type d -exec rmdir {} + 2>/dev/null || true"
	eval "mkdir -p \"\$$name\""
done

# Mend the links between what was divided; one to what is not here goes.
for name in $outputs; do
	eval "root=\$$name"
	find "$root" -type l | sort >"$TMPDIR/links"
	while IFS= read -r link; do
		target=$(readlink "$link")
		case $target in
		"$out"/*) path=${target#"$out/"} ;;
		*)
			path=${link%/*}/$target
			path=${path#"$root/"}
			;;
		esac
		if [ -e "$link" ] || [ -L "${link%/*}/$target" ]; then continue; fi
		rm "$link"
		for other in $outputs; do
			eval "other=\$$other"
			if [ -e "$other/$path" ] || [ -L "$other/$path" ]; then
				ln -s "$other/$path" "$link"
				break
			fi
		done
	done <"$TMPDIR/links"
done

# --- Refer to store paths only.

libs=
bins=
for name in $outputs; do
	eval "root=\$$name"
	[ ! -d "$root/lib" ] || libs="$libs $root/lib"
	[ ! -d "$root/bin" ] || bins="$bins $root/bin"
done
for dep in $deps; do
	[ ! -d "$dep/lib" ] || libs="$libs $dep/lib"
	[ ! -d "$dep/bin" ] || bins="$bins $dep/bin"
done
[ -z "$shell" ] || bins="$bins ${shell%/*}"

# Directories that hold the libraries that file $1 needs, separated by colons.
# Only those: a wider path would be a reference to what is not used.
runpath() {
	path=
	for lib in $(patchelf --print-needed "$1"); do
		for dir in $libs none; do
			[ ! -e "$dir/$lib" ] || break
		done
		if [ "$dir" = none ]; then
			echo "$1 needs $lib, which no dependency has" >&2
			exit 1
		fi
		case :$path: in *:"$dir":*) ;; *) path=${path:+$path:}$dir ;; esac
	done
	echo "$path"
}

fix_elf() {
	if patchelf --print-interpreter "$1" >/dev/null 2>&1; then
		path=$(runpath "$1") || exit 1
		# In this order and not at once: patchelf 0.18 otherwise moves
		# the dynamic section of some programs to where it cannot be
		# written, and they crash.
		patchelf --set-rpath "$path" "$1"
		patchelf --set-interpreter "$loader" "$1"
	elif [ -n "$(patchelf --print-needed "$1" 2>/dev/null)" ]; then
		path=$(runpath "$1") || exit 1
		patchelf --set-rpath "$path" "$1"
	fi
}

fix_script() {
	IFS= read -r line <"$1" || return 0
	line=${line#"#!"}
	# shellcheck disable=SC2086 # split it as the kernel and env do
	set -- "$1" $line
	file=$1
	shift
	case ${1:-} in */env) shift ;; esac
	interpreter=${1:-}
	[ -n "$interpreter" ] || return 0
	shift
	for dir in $bins; do
		if [ -x "$dir/${interpreter##*/}" ]; then
			sed -i "1s|.*|#!$dir/${interpreter##*/}${*:+ $*}|" "$file"
			return 0
		fi
	done
}

for name in $outputs; do
	eval "root=\$$name"
	find "$root" -type f \( -perm -100 -o -name '*.so' -o -name '*.so.*' \) |
		sort >"$TMPDIR/files"
	while IFS= read -r file; do
		case $(head -c 4 "$file" | tr -c 'A-Z#!' .) in
		.ELF)
			[ -n "$loader" ] || continue
			chmod u+w "$file"
			fix_elf "$file"
			;;
		'#!'*)
			chmod u+w "$file"
			fix_script "$file"
			;;
		esac
	done <"$TMPDIR/files"
done

# For fixup: make program $1 a script that first runs the line $2.
wrap() {
	real=${1%/*}/.${1##*/}-wrapped
	mv "$1" "$real"
	printf '#!%s\n%s\nexec -a "$0" "%s" "$@"\n' "$shell" "$2" "$real" >"$1"
	chmod 755 "$1"
}

cd "$out"
eval "${fixup:-}"

# As nixpkgs does it: whoever builds against dev gets the rest too.
if has dev; then
	mkdir -p "$dev/nix-support"
	echo "$out" >"$dev/nix-support/propagated-build-inputs"
fi
