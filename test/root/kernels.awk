# Counts what a guest has said: a row of the table, and a line, indented, for each thing that is wrong.

/^PROGRAM / {
    program = substr($0, 9)
    sub(/^\/cases\//, "case ", program)
}
/^ok .*# SKIP/ { skipped++; next }
/^ok [0-9]/ { passed++ }
/^not ok / { failed++; wrong[++count] = $NF; wants = 1; next }
wants && /^# / { wrong[count] = wrong[count] ": " substr($0, 3) }
{ wants = 0 }
/^STATUS / {
    if (program ~ /^case |ktls/) {
        if ($2 == 0) right++
        else if ($2 == 77) passedOver++
        else { wrongCases++; wrong[++count] = program ": status " $2 }
    } else if (program ~ /demo/)
        demo = $2 == 0 ? "right, " $4 " s" : "status " $2
    else if ($2 == 137)
        wrong[++count] = program ": ended at its limit"
    else if ($2 > 1 && $2 != 77)
        wrong[++count] = program ": status " $2
    program = ""
}
/WARNING|BUG:|Oops/ { wrong[++count] = "kernel: " $0 }
/^END / { seconds = $2 }
END {
    if (seconds == "") wrong[++count] = "not ended" (program != "" ? ", in " program : "")
    if (demo !~ /^right/) wrong[++count] = "demo: " demo
    printf "| %s | %d passed, %d failed, %d skipped | %s | %d right, %d wrong, %d skipped | %s |\n",
        kernel, passed, failed, skipped, demo, right, wrongCases, passedOver, seconds
    for (number = 1; number <= count; number++) print "    " wrong[number]
}
