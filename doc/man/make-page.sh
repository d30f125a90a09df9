# Makes a page of scdoc's: standard input to standard output. The first line tells man to run tbl, which
# the tables need.
cat <<'LINE'
'\" t
LINE
exec "$1"
