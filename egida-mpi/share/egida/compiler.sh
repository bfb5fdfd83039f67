# What the compiler wrappers share. Sourced with `here` set to the folder of the wrapper.

prefix=$(cd -- "$here/.." && pwd -P)
compile_flags="-I$prefix/include"
link_flags="-L$prefix/lib -Wl,-rpath,$prefix/lib -lmpi_abi"
# What a wrapper's language needs beyond these; set by the wrapper, without blanks inside a flag.
language_flags=

# compile_with COMPILER ARGUMENTS: runs the compiler with MPI's flags, or shows what it would run.
#
#   -show, -showme                      the whole command
#   -compile-info, -link-info           the commands without the arguments
#   -showme:compile, -showme:link       the flags alone
compile_with() {
    compiler=$1
    shift
    compile_flags="$compile_flags${language_flags:+ $language_flags}"
    show=no
    links=yes
    count=$#
    while [ "$count" -gt 0 ]; do
        argument=$1
        shift
        count=$((count - 1))
        case $argument in
            -show | -showme | --showme) show=yes ;;
            -compile-info | -compile_info) echo "$compiler $compile_flags"; exit 0 ;;
            -link-info | -link_info) echo "$compiler $compile_flags $link_flags"; exit 0 ;;
            -showme:compile | --showme:compile) echo "$compile_flags"; exit 0 ;;
            -showme:link | --showme:link) echo "$link_flags"; exit 0 ;;
            -c | -S | -E | -M | -MM | -fsyntax-only) links=no; set -- "$@" "$argument" ;;
            *) set -- "$@" "$argument" ;;
        esac
    done
    # The prefix may hold blanks: its flags stay words of their own.
    # shellcheck disable=SC2086
    set -- "-I$prefix/include" $language_flags "$@"
    if [ "$links" = yes ]; then
        set -- "$@" "-L$prefix/lib" "-Wl,-rpath,$prefix/lib" -lmpi_abi
    fi
    if [ "$show" = yes ]; then
        echo "$compiler $*"
    else
        # A compiler may come with arguments of its own: CC="ccache cc".
        # shellcheck disable=SC2086
        exec $compiler "$@"
    fi
}
