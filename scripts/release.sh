#!/bin/sh
# Makes all files of a release in dist/ and tries them; publishes nothing.
#   sh scripts/release.sh VENV
# wheel and sdist, constraints.txt (the locked versions: pip install tiffin -c constraints.txt), sbom.json
# (CycloneDX), NOTES.md (the changelog's part). Fails where the version has been released, where files are
# changed, and where the wheel does not run from an environment of its own.
set -eu
bin=$1/bin
version=$("$bin/python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
dist=dist

fail() { echo "No release: $1" >&2; exit 1; }

if [ -n "$(git status --porcelain)" ]; then fail "there are uncommitted changes (git status)"; fi
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then
    fail "v$version has been released: raise the version in pyproject.toml"
fi

rm -rf "$dist"
mkdir "$dist"
part() {
    awk -v heading="## [$1]" 'index($0, heading) == 1 {found = 1; next} /^## \[/ {found = 0} found' CHANGELOG.md
}
part "$version" >"$dist/NOTES.md"
if [ ! -s "$dist/NOTES.md" ]; then
    part Unreleased >"$dist/NOTES.md"
    unnamed="Before it is published: rename 'Unreleased' in CHANGELOG.md to '[$version] - DATE'."
fi

echo "… wheel and sdist"
"$bin/python" -m hatchling build -d "$dist" >/dev/null 2>&1
echo "… constraints.txt and sbom.json"
"$bin/uv" export --quiet --locked --no-default-groups --no-hashes --no-emit-project >"$dist/constraints.txt"
"$bin/uv" export --quiet --locked --no-default-groups --format cyclonedx1.5 >"$dist/sbom.json" 2>/dev/null

echo "… the wheel in an environment of its own"
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
"$bin/uv" venv --quiet --python "$bin/python" "$trial/venv"
"$bin/uv" pip install --quiet --python "$trial/venv/bin/python" --constraints "$dist/constraints.txt" \
    "$dist/tiffin-$version-py3-none-any.whl"
(cd "$trial" && TIFFIN_SANDBOX=1 "$trial/venv/bin/tiffin" agents >/dev/null) || fail "the wheel does not run"

ls -l "$dist" | awk 'NR > 1 {printf "  %-44s %9d bytes\n", $NF, $5}'
[ -z "${unnamed-}" ] || echo "$unnamed"
"$bin/python" -m sandbox.images >/dev/null ||
    echo "Before it is published: pin the images by digest ($bin/python -m sandbox.images pin)."
echo "Tried, not published. To publish: git tag v$version, push it, and upload dist/."
