#!/bin/sh
# What the RUN and CMD lines of README's container recipe do:
#   container.sh build FLAGS...    install alexnet_np, and compile what a training and a prediction with FLAGS call
#   container.sh run COMMAND...    alexnet-np COMMAND...
set -eu

case $1 in
build)
    shift
    python -c "import alexnet_np" 2>/dev/null || python -m pip install --no-cache-dir "$(dirname "$0")/../.."
    made=$(mktemp -d)
    # Compiled kernels come to lie beside their sources, where every user may read them.
    python -m alexnet_np.cli train --steps 1 --epochs 1 --out "$made" "$@"
    python -c "import sys; from PIL import Image; Image.new('RGB', (64, 64)).save(sys.argv[1])" "$made/grey.png"
    python -m alexnet_np.cli predict "$made/grey.png" --checkpoint "$made/last.safetensors"
    rm -r "$made"
    ;;
run)
    shift
    exec python -m alexnet_np.cli "$@"
    ;;
*)
    echo "container.sh build FLAGS... or container.sh run COMMAND..., not $1" >&2
    exit 2
    ;;
esac
