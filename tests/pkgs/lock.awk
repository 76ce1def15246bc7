# SPDX-License-Identifier: Apache-2.0
#
# Write the lock, JSON, from lines of fields separated by "|": architecture,
# name, source, version, sha256, dependencies, home page, description, URI, file
# name.
#
#   { "amd64": { "bash": { "source": "bash", "depends": [ "libc6", ... ], ...

function quote(s) {
	gsub(/[\\"]/, "\\\\&", s)
	return "\"" s "\""
}

BEGIN { FS = "|" }
{ row[NR] = $0; known[$1 "|" $2] = 1 }
END {
	printf "{"
	for (r = 1; r <= NR; r++) {
		$0 = row[r]
		if ($1 != arch)
			printf "%s\n%s: {", arch == "" ? "" : "\n},", quote($1)
		printf "%s\n\t%s: {\n", $1 == arch ? "," : "", quote($2)
		arch = $1
		printf "\t\t\"source\": %s,\n", quote($3)
		printf "\t\t\"version\": %s,\n", quote($4)
		printf "\t\t\"sha256\": %s,\n", quote($5)
		# Virtual packages and those that debs.txt refuses are not here.
		n = split($6, dep, " ")
		list = ""
		for (i = 1; i <= n; i++)
			if ((arch "|" dep[i]) in known)
				list = list (list == "" ? "" : ", ") quote(dep[i])
		printf "\t\t\"depends\": [%s],\n", list
		printf "\t\t\"homepage\": %s,\n", quote($7)
		printf "\t\t\"description\": %s,\n", quote($8)
		printf "\t\t\"url\": %s,\n", quote($9)
		printf "\t\t\"file\": %s\n\t}", quote($10)
	}
	print "\n}\n}"
}
