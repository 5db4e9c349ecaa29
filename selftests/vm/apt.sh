# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# For scripts that fetch packages of any Debian suite without installing them. $0 names who speaks.

die() { echo "${0##*/}: $*" >&2; exit 1; }
say() { echo "${0##*/}: $*" >&2; }

# The network is allowed to fail now and then.
retry() {
	local try
	for try in 1 2 3; do
		"$@" && return
		say "'$1 ... ${*: -1}' failed, attempt $try of 3"
		sleep $((try * 5))
	done
	return 1
}

# The Debian suite of a kernel in the file `kernels`; any other name is that of a suite.
suite_of() {
	local name suite list=${BASH_SOURCE[0]%/*}/kernels
	while read -r name suite _; do
		if [ "$name" = "$1" ]; then
			echo "$suite"
			return
		fi
	done < <(grep -v '^#' "$list")
	[[ $1 =~ ^[a-z-]+$ ]] || die "kernel $1 is not in $list"
	echo "$1"
}

codename() {
	# shellcheck source=/dev/null
	(. /etc/os-release && echo "$VERSION_CODENAME")
}

# The archive that this machine itself is installed from, so that a mirror or proxy chosen there is used.
archive() {
	# shellcheck disable=SC2016 # the format is for apt to expand
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$(codename)" '$1 == suite && $2 == "main" && !n++ { print $3 }'
}

# Sets $apt, the options that make apt work in $1 for suite $2 only.
configure_apt() {
	local dir=$1 suite=$2 uri key=/usr/share/keyrings/debian-archive-keyring.gpg
	uri=$(archive)
	[ -n "$uri" ] || die "no Debian archive among this machine's apt sources"
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	: >"$dir/status"
	echo "deb [arch=amd64$([ -e $key ] && echo " signed-by=$key")] $uri $suite main" >"$dir/sources.list"
	apt=(-qq -o APT::Architecture=amd64 -o APT::Sandbox::User= -o Acquire::Retries=5
	     -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=-
	     -o Dir::State="$dir" -o Dir::State::Lists="$dir/lists" -o Dir::State::Status="$dir/status"
	     -o Dir::Cache="$dir")
}

# unpack FOLDER PACKAGE... - also removes what it has downloaded
unpack() {
	local into=$1 deb
	shift
	mkdir "$into/debs"
	(cd "$into/debs" && retry apt-get "${apt[@]}" download "$@") >&2 || die "cannot download $*"
	for deb in "$into"/debs/*.deb; do
		dpkg-deb -x "$deb" "$into"
	done
	rm -r "$into/debs"
}

# with_dependencies PACKAGE... - their names and those of all that they need
with_dependencies() {
	apt-get "${apt[@]}" -y --no-install-recommends -s install "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}
