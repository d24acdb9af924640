"""What surrounds the compiler: command line, benchmark, reports."""
