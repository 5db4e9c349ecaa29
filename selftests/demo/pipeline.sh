#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# pipeline.sh RESULT - pack the compiler into RESULT, and its checksum into RESULT.sum.
#
# None of the processes knows that it may be interrupted.
set -eu -o pipefail

cd /usr/lib
tar --create --sort=name gcc | gzip -1 --no-name | {
	tee >(sha256sum >"$1.sum") >"$1"
	wait $!
}
