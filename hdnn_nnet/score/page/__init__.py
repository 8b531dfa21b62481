"""The report as one HTML page: charts as SVG, tables, styles and script, all inside one file."""
