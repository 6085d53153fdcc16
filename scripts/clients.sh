#!/bin/sh
# Writes typed clients made of /openapi.json to a folder: clients.sh FOLDER
# FOLDER/python has the package tiffin_client, FOLDER/typescript its npm package with an example.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
PATH=$root/.venv/bin:$PATH # the generator formats with ruff

cd "$root"
python -m web.openapi >"$folder/openapi.json"
openapi-python-client generate --path "$folder/openapi.json" --output-path "$folder/python" \
    --overwrite --fail-on-warning
if command -v npm >/dev/null; then
    mkdir -p "$folder/typescript"
    cp examples/typescript-client/*.ts examples/typescript-client/*.json "$folder/typescript/"
    cd "$folder/typescript"
    npm ci --no-audit --no-fund --prefer-offline
    npx --no-install openapi-typescript ../openapi.json --default-non-nullable false \
        --output tiffin.d.ts
else
    echo 'No client for TypeScript: that needs Node (npm)' >&2
fi
