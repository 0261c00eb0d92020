/** VitePress's own looks, and a few lines for wide tables and long names. */

import DefaultTheme from "vitepress/theme";
import "./style.css";

export default DefaultTheme;
