<?php
// What PHP was told, one variable a line. Below /admin, as the server sees it, it tells its secret.

header('Content-Type: text/plain');
if (str_starts_with($_SERVER['SCRIPT_NAME'], '/admin/')) {
    echo "the secret of the application\n";
}
foreach ($_SERVER as $name => $value) {
    if (is_string($value)) {
        echo "$name=$value\n";
    }
}
