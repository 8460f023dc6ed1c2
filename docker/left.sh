#!/usr/bin/env bash
# After a "down" that failed: fails too, unless all that is left are networks that
# the engine will not give up. An older one can miscount their endpoints when many
# containers start at once; it forgets them when it is started anew, and until then
# the next "up" uses them again.
set -euo pipefail
mine=label=com.docker.compose.project=spillway
[ -z "$(docker ps --all --quiet --filter $mine)" ] || exit 1
for network in $(docker network ls --format '{{.Name}}' --filter $mine); do
  docker network rm "$network" > /dev/null 2>&1 || echo "network $network stays until the Docker engine is restarted; the next deployment uses it again"
done
