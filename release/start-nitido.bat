@echo off
rem Double-click: the page of nitido opens in your browser; closing this window ends it.
rem uv lies beside this file. At the first start it fetches Python and what nitido needs, about 110 MB.
cd /d "%~dp0"
set "PATH=%~dp0;%PATH%"
set "PYTHONUTF8=1"
if not exist uv.exe (
  echo Unpack the whole ZIP first: right-click it, Extract All. Then start this file from there.
  pause
  exit /b 1
)
for %%F in (nitido-*.whl) do set "WHEEL=%%F"
echo Starting nitido; closing this window ends it. The first time takes some minutes.
uv tool run --python 3.13 --from "./%WHEEL%[web]" nitido serve --open %*
if errorlevel 1 (
  echo nitido did not start; what went wrong stands above.
  pause
)
