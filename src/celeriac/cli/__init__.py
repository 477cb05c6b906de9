"""The command line: `celeriac -A APP COMMAND`. One file a command, imported when that command is asked for."""
