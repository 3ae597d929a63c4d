#!/bin/sh
# record.sh OUT: records traces of every mechanism with every version below into OUT/<mechanism>/foreign-*.jsonl.
# OPS (default 3000) calls a trace, SEEDS (default 3) traces a script; RICH=1: with what the format leaves open.
# ONLY=xtime|wq|pq|cachefifo: that package alone. Builds one version after the other; nothing is written beside OUT.
set -eu
OUT=$(mkdir -p "$1" && cd "$1" && pwd)
export OUT
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

record() { # package, tags, version of the trace, modules
	package=$1 tags=$2 VERSION=$3
	shift 3
	[ "${ONLY:-$package}" = "$package" ] || return 0
	cp go.mod "$work/$VERSION.mod"
	for module; do go mod edit -require="$module" "$work/$VERSION.mod"; done
	go test -p 1 -mod=mod -modfile="$work/$VERSION.mod" -tags "$tags" -c -o "$work/$VERSION.test" "./$package"
	VERSION=$VERSION "$work/$VERSION.test"
}

for v in v0.5.0 v0.9.0 v0.10.0 v0.16.0; do record xtime "" $v golang.org/x/time@$v; done
for v in v0.30.14 v0.34.1 v0.37.2; do record wq "" $v k8s.io/client-go@$v; done
for v in v0.20.4 v0.21.0; do record pq prioint $v sigs.k8s.io/controller-runtime@$v; done
for v in v0.22.5 v0.23.3 v0.24.1 v0.25.2; do record pq "" $v sigs.k8s.io/controller-runtime@$v; done
for v in v0.30.14; do record cachefifo "" $v k8s.io/client-go@$v k8s.io/api@$v k8s.io/apimachinery@$v; done
for v in v0.34.1 v0.37.2; do record cachefifo realfifo $v k8s.io/client-go@$v k8s.io/api@$v k8s.io/apimachinery@$v; done
