# SPDX-License-Identifier: Apache-2.0
#
# Turn the control stanzas of `apt-cache show` into lines of seven fields: name,
# source, version, sha256, dependencies (separated by spaces), home page, first
# line of the description.  They are separated by "|", not by tabs, since the
# shell's `read` takes several tabs for one.

BEGIN { RS = ""; FS = "\n"; OFS = "|" }
{
	split("", field)
	for (i = 1; i <= NF; i++) {
		if ($i !~ /^[A-Za-z0-9-]+:/)
			continue
		key = value = $i
		sub(/:.*/, "", key)
		sub(/^[^:]*: */, "", value)
		gsub(/\|/, "/", value)
		field[key] = value
	}
	source = field["Source"]
	sub(/ .*/, "", source)
	if (source == "")
		source = field["Package"]

	# Of alternatives the first is what a fresh system would get.
	n = split(field["Pre-Depends"] "," field["Depends"], dep, /,/)
	deps = ""
	for (i = 1; i <= n; i++) {
		sub(/^ +/, "", dep[i])
		sub(/[ (|:].*$/, "", dep[i])
		if (dep[i] != "" && index(" " deps " ", " " dep[i] " ") == 0)
			deps = deps (deps == "" ? "" : " ") dep[i]
	}
	print field["Package"], source, field["Version"], field["SHA256"], deps, \
		field["Homepage"], field["Description"]
}
