# SPDX-License-Identifier: Apache-2.0
#
# Reduce one file of apt sources to the distribution's own archives, printed as
# deb822 stanzas.  Variables: format ("lines" or "stanzas"), codename (of the
# machine), other (take this suite instead, or empty).

# The suites of s that are the machine's release, its updates or its security
# archive, renamed if another release is wanted.
function own(s,   n, i, w, base, rest, out) {
	n = split(s, w, /[ \t]+/)
	out = ""
	for (i = 1; i <= n; i++) {
		base = w[i]
		rest = ""
		if (match(base, /(-updates|-security|\/updates)$/)) {
			rest = substr(base, RSTART)
			base = substr(base, 1, RSTART - 1)
		}
		if (base != codename && base !~ /^(oldstable|stable|testing|unstable|sid)$/)
			continue
		if (other != "")
			base = other
		# Development releases have no archives beside the main one.
		if (rest != "" && base ~ /^(unstable|sid)$/)
			continue
		out = out " " base rest
	}
	return out
}

function emit(uris, suites, components, more) {
	suites = own(suites)
	# Docker and others name their suites as Debian does, but not this.
	if (suites == "" || (" " components " ") !~ / (main) /)
		return
	printf "Types: deb\nURIs: %s\nSuites:%s\nComponents: main\n%s\n", \
		uris, suites, more
}

function finish() {
	if ((" " field["types"] " ") ~ / deb / && tolower(field["enabled"]) != "no")
		emit(field["uris"], field["suites"], field["components"], verbatim)
	split("", field)
	verbatim = key = ""
}

format == "lines" && $1 == "deb" {
	sub(/#.*/, "")
	options = ""
	if (match($0, /\[[^]]*\]/)) {
		options = substr($0, RSTART + 1, RLENGTH - 2)
		$0 = substr($0, 1, RSTART - 1) " " substr($0, RSTART + RLENGTH)
	}
	more = ""
	n = split(options, option, /[ \t]+/)
	for (i = 1; i <= n; i++) {
		if (sub(/^signed-by=/, "", option[i]))
			more = more "Signed-By: " option[i] "\n"
		else if (sub(/^trusted=/, "", option[i]))
			more = more "Trusted: " option[i] "\n"
	}
	components = ""
	for (i = 4; i <= NF; i++)
		components = components " " $i
	emit($2, $3, components, more)
}

format == "stanzas" && /^#/ { next }
format == "stanzas" && /^[ \t]*$/ { finish(); next }
format == "stanzas" && /^[ \t]/ {
	# A continued value; a key may stand in the file itself, as it is.
	if (key == "signed-by")
		verbatim = verbatim $0 "\n"
	else
		field[key] = field[key] " " $0
	next
}
format == "stanzas" {
	key = tolower($0)
	sub(/:.*/, "", key)
	value = $0
	sub(/^[^:]*:[ \t]*/, "", value)
	field[key] = value
	if (key == "signed-by" || key == "trusted")
		verbatim = verbatim $0 "\n"
}
END { if (format == "stanzas") finish() }
