#!/bin/sh
# What is served first: the bundle in /given where there is one, else a synthetic marketplace's; nothing, where the
# store serves something already: its newest bundle may be the trainer's.
set -eu
if [ -n "$(ls /bundles/store/channels/latest 2> /dev/null)" ]; then
  echo "the bundle store serves a bundle already"
  exit 0
fi
if [ ! -w /bundles ]; then
  echo "bundle: the volume at /bundles cannot be written by user $(id -u)" >&2
  exit 1
fi
given=/given
if [ ! -e "$given/manifest.json" ]; then
  given=/tmp/bundle
  rankgr data synth --out /tmp/marketplace --users "$BUNDLE_USERS" --items "$BUNDLE_ITEMS" --seed "$BUNDLE_SEED"
  rankgr build /tmp/marketplace --out "$given" --preset "$BUNDLE_PRESET" --seed "$BUNDLE_SEED"
fi
exec rankgr bundles promote "$given" --store /bundles/store
