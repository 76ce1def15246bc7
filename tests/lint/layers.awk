# SPDX-License-Identifier: Apache-2.0
# The first file is the table (see layers.txt), the rest are sources.

function best_rule(file,    p, found) {
	found = ""
	for (p in allowed)
		if (index(file, p) == 1 && length(p) > length(found))
			found = p
	return found
}

function starts_with_one_of(s, list,    n, parts, i) {
	n = split(list, parts, " ")
	for (i = 1; i <= n; i++)
		if (index(s, parts[i]) == 1)
			return 1
	return 0
}

function complain(what) {
	printf "%s:%d: %s\n", FILENAME, FNR, what
	bad = 1
}

FNR == 1 { nfile++ }

nfile == 1 {
	sub(/#.*/, "")
	if (match($0, /=>/)) {
		h = $1
		sub(/^[^=]*=>/, "")
		home[h] = $0
	} else if (match($0, /:/)) {
		f = $1
		sub(/:$/, "", f)
		sub(/^[^:]*:/, "")
		allowed[f] = $0
	}
	next
}

FNR == 1 {
	rule = best_rule(FILENAME)
	own = FILENAME
	sub(/\.[ch]$/, ".h", own)
	checked++
	if (rule == "")
		complain("no rule for this file in the table")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\"")
	inc = q[2]
	if (inc != own && rule != "" && !starts_with_one_of(inc, allowed[rule]))
		complain("may not include " inc " (rule " rule ")")
	next
}

/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, q, /[<>]/)
	inc = q[2]
	for (h in home)
		if (index(inc, h) == 1 && !starts_with_one_of(FILENAME, home[h]))
			complain("<" inc "> belongs to" home[h])
}

END {
	if (!bad)
		printf "check-layers: %d files keep to the table\n", checked
	exit bad
}
