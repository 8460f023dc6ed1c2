#!/usr/bin/env bash
# Puts the images of the tests and of the deployment into the local engine: what
# is there stays, what a registry has is pulled, and the rest is made from
# Debian's packages (which takes root and debootstrap). The program's own image is
# built each time, from bin/spillway.
#
#   docker/images.sh                  all of them
#   docker/images.sh app redis ...    these alone
set -euo pipefail
cd "$(dirname "$0")/.."
all=(app redis postgres nginx prometheus)

# recipe sets, for an image: its tag here, its public name and Debian's package.
recipe() {
  case $1 in
  redis) tag=redis:7 public=redis:7 package=redis-server ;;
  postgres) tag=postgres:15 public=postgres:15 package=postgresql-15 ;;
  nginx) tag=nginx:1 public=nginx:1 package=nginx-light ;;
  prometheus) tag=prometheus:2 public=prom/prometheus:v2.53.0 package=prometheus ;;
  *)
    echo "image $1: want some of ${all[*]}" >&2
    exit 2 ;;
  esac
}

# arrange does what a package leaves to the image.
arrange() { # image, root folder
  case $1 in
  postgres)
    mkdir -p "$2/docker-entrypoint-initdb.d"
    # The compiler of queries is larger than all the rest, and these have none to compile.
    rm -rf "$2"/usr/lib/postgresql/15/lib/{llvmjit*,bitcode} "$2"/usr/lib/*/libLLVM* ;;
  nginx)
    mkdir -p "$2/var/log/nginx"
    ln -sf /dev/stdout "$2/var/log/nginx/access.log"
    ln -sf /dev/stderr "$2/var/log/nginx/error.log" ;;
  prometheus)
    mkdir -p "$2/prometheus" && chown 65534:65534 "$2/prometheus"
    # A package of the web page brings 200 MB of sources of time zones.
    rm -rf "$2"/var/lib/prometheus "$2"/usr/share/javascript/moment-timezone/data ;;
  esac
}

debian() { # makes the system that the images start from, once
  [ ! -e "$scratch/debian" ] || return 0
  [ "$(id -u)" = 0 ] || { echo "no registry answers, and making images from Debian's packages takes root: try again as root" >&2; exit 7; }
  command -v debootstrap > /dev/null || { echo "no registry answers, and debootstrap is not here: apt-get install debootstrap" >&2; exit 7; }
  echo "+ making a Debian system"
  debootstrap --variant=minbase bookworm "$scratch/debian" > "$scratch/log" 2>&1 || { tail -n 5 "$scratch/log" >&2; exit 7; }
  printf '#!/bin/sh\nexit 101\n' > "$scratch/debian/usr/sbin/policy-rc.d" # packages start no servers here
  chmod 755 "$scratch/debian/usr/sbin/policy-rc.d"
  mkdir -p "$scratch/debian/etc/postgresql-common"
  echo 'create_main_cluster = false' > "$scratch/debian/etc/postgresql-common/createcluster.conf"
}

make_image() { # image
  debian
  local root=$scratch/root context=$scratch/$1
  echo "+ making $tag from Debian's $package"
  cp -a "$scratch/debian" "$root"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends "$package" > "$scratch/log" 2>&1 ||
    { tail -n 5 "$scratch/log" >&2; exit 7; }
  arrange "$1" "$root"
  rm -rf "$root"/usr/share/{doc,man,locale,info,lintian,bug} "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root"/dev/*
  find "$root/var/log" -type f -delete
  cp -r "docker/$1" "$context"
  tar -C "$root" -cf "$context/root.tar" .
  build --tag "$tag" "$context"
  rm -rf "$root" "$context"
}

# build is Docker's builder that every engine has; it tells something only when it fails.
build() {
  DOCKER_BUILDKIT=0 docker build "$@" > "$scratch/log" 2>&1 || { tail -n 5 "$scratch/log" >&2; exit 7; }
}

docker version > /dev/null || exit 7
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
[ $# -gt 0 ] || set -- "${all[@]}"
for image; do
  if [ "$image" = app ]; then
    echo "+ building spillway:dev"
    build --tag spillway:dev --file docker/app/Dockerfile bin
    continue
  fi
  recipe "$image"
  if docker image inspect "$tag" > /dev/null 2>&1; then
    echo "$tag is there"
  elif timeout 60 docker pull --quiet "$public" > /dev/null 2>&1; then
    echo "+ pulled $public"
    [ "$public" = "$tag" ] || docker tag "$public" "$tag"
  else
    make_image "$image"
  fi
done
