# SPDX-License-Identifier: MIT
# Draws what plot.py measured; it sets data (a path), caption (lines) and over (of what the ratios are). The lower half
# shows what is one line above: differences of a tenth.
set terminal svg size 960,1000 font "Helvetica,Arial,sans-serif,15" background "white"
set encoding utf8
set datafile missing "-"

# Contestant i has its median in column 3 * i - 1, and its quartiles in the two that follow.
names = "floor-write floor-uring libev io_uring redis"
set style line 1 linecolor rgb "#9a9a9a" linewidth 1.2 pointtype 4 pointsize 0.6
set style line 2 linecolor rgb "#c9a227" linewidth 1.2 pointtype 6 pointsize 0.6
set style line 3 linecolor rgb "#1f5fa8" linewidth 2 pointtype 5 pointsize 0.6
set style line 4 linecolor rgb "#d1495b" linewidth 2 pointtype 7 pointsize 0.6
set style line 5 linecolor rgb "#404040" linewidth 2 pointtype 9 pointsize 0.7
aside(n, i) = n * 1.015 ** (i - 3) # so that the bars of a point stand beside each other

set border 3
set bars 0.5
set tics nomirror out
set grid xtics ytics linecolor rgb "#dddddd" linewidth 1
set logscale x
set xrange [0.9:1120]
set xtics (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
set key top right noenhanced spacing 1.3
set lmargin at screen 0.10
set rmargin at screen 0.97

set multiplot
set label 1 "Server CPU per delivered message of 16 bytes, in windows of 64" \
        at screen 0.5, screen 0.96 center font ",18"
set label 2 caption at screen 0.03, screen 0.135 left noenhanced font ",12" textcolor rgb "#555555"
set tmargin at screen 0.93
set bmargin at screen 0.57
set ylabel "ns" offset 1, 0
set logscale y
set ytics (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
plot for [i = 1:5] data index 0 using (aside($1, i)):(column(3 * i - 1)):(column(3 * i)):(column(3 * i + 1)) \
        with yerrorlines linestyle i title word(names, i)

unset label 1
unset label 2
unset key
set tmargin at screen 0.51
set bmargin at screen 0.22
set xlabel "subscribers"
set ylabel over
unset logscale y
set ytics auto
plot for [i = 1:4] data index 1 using (aside($1, i)):(column(3 * i - 1)):(column(3 * i)):(column(3 * i + 1)) \
        with yerrorlines linestyle i
unset multiplot
