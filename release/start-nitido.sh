#!/bin/sh
# Double-click: the page of nitido opens in your browser; closing this window ends it.
# uv lies beside this file. At the first start it fetches Python and what nitido needs, about 110 MB.
cd "$(dirname "$0")" || exit 1
if [ "$(uname)" = Darwin ]; then # what a browser has downloaded may not run until that is said
  xattr -dr com.apple.quarantine . 2>/dev/null
fi
if ! [ -x uv ]; then
  echo "Unpack the whole ZIP first, then start this file from there. Press Enter to close this window."
  read -r _
  exit 1
fi
PATH="$PWD:$PATH"
wheel=$(ls nitido-*.whl)
echo "Starting nitido; closing this window ends it. The first time takes some minutes."
uv tool run --python 3.13 --from "./${wheel}[web]" nitido serve --open "$@" && exit
status=$?
[ "$status" = 130 ] && exit # Ctrl-C
echo "nitido did not start; what went wrong stands above. Press Enter to close this window."
read -r _
exit "$status"
