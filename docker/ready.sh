#!/usr/bin/env bash
# Waits until every process of the deployment is ready, and names those that are not.
set -euo pipefail
for _ in $(seq 60); do
  if missing=$(curl --silent --show-error --max-time 5 --fail-with-body http://127.0.0.1:18081/readyz 2>&1) &&
    curl --silent --output /dev/null --max-time 5 --fail http://127.0.0.1:18080/healthz; then
    echo "the deployment is ready: http://127.0.0.1:18080, its admin part http://127.0.0.1:18081"
    exit 0
  fi
  sleep 1
done
echo "the deployment is not ready after a minute: ${missing:-the edge does not answer}" >&2
exit 7
