"""One suite, two programs: what `docker` answers on Debian's daemons, `pyctr` must answer too."""
